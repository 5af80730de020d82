"""Files in and out: atomic writing, cache, downloads, Parquet."""
