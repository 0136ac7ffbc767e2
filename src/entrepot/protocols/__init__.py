"""The contracts that plugins meet, one role a file. Nothing here does anything."""
