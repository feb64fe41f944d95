"""Whole applications, traced with Clew."""
