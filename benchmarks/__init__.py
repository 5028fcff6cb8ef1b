"""What Slowpost costs and keeps, side by side with the raw limit of the same run. `script/bench` runs them."""
