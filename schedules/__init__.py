"""What the clock starts: each job is a function, named as a verb; `crontab` and `scheduler` say when."""
