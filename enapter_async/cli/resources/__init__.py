"""Commands on resources, one module each, imported when they run."""
