"""From a document to files of each format."""
