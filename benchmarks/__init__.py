"""How fast Farebox is: `make bench` compares it with others; the rest are measurements of single parts.

- `bench`: the command. `run`: the contenders in turn, repeated, with the books checked.
- `figures`: what is measured, one module each. `figure`: how such a module says what it measures and what is the goal.
- `stage`: what a figure is measured with; `key_stage`: one about keys. `stack`: starts the upstream, the stores and
  Farebox. `population`: a million keys of a hundred thousand wallets, which `populate` writes.
- `contenders`: the servers that Farebox is compared with. `environments`: gets their programs.
- `load`, and of it `key_load`, makes the requests that `asked` writes, over `client`s; `upstream` answers them.
- `values`, `goals`, `report`, `plots`: what is made of the measured values. `affinity`: who gets which cores.
- On their own: `balance_watch`, `price_trial`, `tap`, `usage_statistics`, `user_list`.
"""
