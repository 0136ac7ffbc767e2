"""What tasks returned, kept and given back: keys, records, and the store. Import the module that you need."""
