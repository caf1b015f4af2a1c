"""How a process of Farebox starts and stops, whatever it serves.

starting  ports, signals, the error of a start
workers   several processes on one port, and who starts them again
stopping  how long a stop takes at most, step by step; pure
"""
