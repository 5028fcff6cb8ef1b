"""What the clock starts: each job is a function `run`; `crontab` and `scheduler` say when."""
