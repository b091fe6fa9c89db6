"""What a job type is: one declaration a file."""
