"""The HTTP server: recommendations, events that count at once, and a page. Only the public API is called from here."""
