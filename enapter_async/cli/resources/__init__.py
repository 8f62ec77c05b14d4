"""Commands on resources, one module each; they are imported when they are run."""
