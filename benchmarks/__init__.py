"""How fast Farebox is: `make bench` compares it with others; the rest are measurements of single parts.

- `bench`: the command. `run`: the contenders in turn, repeated, with the books checked.
- `figures`: what is measured, one module each. `figure`: how such a module says what it measures and what is the goal.
- `stage`: what a figure is measured with. `stack`: starts the upstream, the stores and Farebox.
- `contenders`: the servers that Farebox is compared with. `environments`: gets their programs.
- `load` makes the requests that `asked` writes, `upstream` answers them.
- `values`, `goals`, `report`, `plots`: what is made of the measured values. `affinity`: who gets which cores.
- On their own: `balance_watch`, `price_trial`, `tap`, `usage_statistics`, `user_list`.
"""
