"""A Report in the forms that people and tools read: a form per file, each a pure function from Report to text."""
