"""Chaos drills: something is really broken, and what users see is held against what was promised.

Theory
------
A drill is an experiment, told in a file of Chaos Toolkit's shape (`chaos/*.yaml`). Its steady state is proven by
probes, a fault is injected while events and pages go on, the fault is healed, and the *same* probes prove the steady
state again. Three things go wrong with such experiments, and each is ruled out here:

- a drill that passes though nothing was tested. The fault has probes of its own, its *evidence*: they must fail before
  the fault and hold while it lasts, or the verdict is inconclusive. So it is when the steady state was not there to
  begin with; then nothing is injected at all.
- a fault that outlives its drill. It is written down, with what undoes it, before it is injected (`journal`), and
  healed at the end whatever that end is: an exception, Ctrl-C, or `tocsin drill heal` after a kill -9.
- a report of what was run, and not of what it meant. Requests and pages are judged at the receiving end: by a history
  that clients wrote, and by a server that people's pages come to. All probes of a round are recorded, also after one
  that failed.

    model      a drill as its file has it, checked against the registries before anything runs
    registry   what probes and actions are; `probes` and `actions` have ours
    target     what a drill needs of the thing it is run against; `targets` has the local ones
    runner     the sequence, over a clock that is passed in
    journal    what is injected now
    verdict    held, deviated, inconclusive: one table
    report     JSON for machines, a page with the timeline drawn for people
"""
