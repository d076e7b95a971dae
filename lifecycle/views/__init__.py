"""What people see of a record."""
