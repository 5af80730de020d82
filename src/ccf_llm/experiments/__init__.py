"""A run: one configuration -> trained methods, figures and a report in one folder."""
