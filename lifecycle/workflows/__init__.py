"""One verb a file, each reads top to bottom as the story."""
