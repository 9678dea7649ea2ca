"""Alerts in the database: what is worth one, made once, and who still has to get it."""
