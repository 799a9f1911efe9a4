"""From footage of a talking head to a data folder that can be trained on.

The way: `checks/` look at the material and say in words what is wrong with it; `steps/` do the
work, one thing each, in the order of `steps/order.py`; `journal.py` remembers what is done;
`models/` run the small networks that find faces and people; `pose/` and `regions/` hold what the
steps of these names compute.
"""
