"""Pure decisions: specs and observed objects in, desired objects and status out."""
