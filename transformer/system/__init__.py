"""What every room may use: errors, files, devices, processes. Imports nothing of ours."""
