"""Blueprint archives and manifests: reading, writing, and checks against them."""
