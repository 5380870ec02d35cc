"""What happens after a call was tried, as pure decisions over records.

`outcomes`: an answer -> what it proves. `account`: may anyone call now. `records`: is a call that
may have rung in the vendor's records. `settling`: outcome or look-up -> the call's next state.

None of it knows HTTP libraries, the store, the clock or chance: `now` and `jitter` come in. The
question behind every rule is "may the phone have rung?": only what surely has not rung is dialled
again at once; what may have rung is looked up first.
"""
