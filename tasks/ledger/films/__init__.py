"""Films: one scan and one item, whose shots several workers lease, colour and finish.

The item's holder has the film: it records the shots, colours them one by one, and puts the reel
together. Whoever works for the same order and has nothing left to claim leases shots of it, too.
A shot's lease is its own, so a worker that vanishes costs a shot, and a holder that vanishes costs
nothing that was done: whoever claims the item next goes on from there.
"""

from tasks.ledger.films.holding import forget_segments, record_shots, reopen, take_up
from tasks.ledger.films.leasing import fail, finish, give_back, lease, renew
from tasks.ledger.films.reading import count_open, list_shots, master_of, next_due, standing
