"""What an overlay renders: its workload, a plan of it, and its way onto one machine."""
