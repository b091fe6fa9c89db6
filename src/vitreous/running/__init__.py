"""Start, watch and stop the processes of a job; the contract of the job folder."""
