"""What the SDK costs and gives, measured beside bare aiohttp and the vendor's SDK in one run."""
