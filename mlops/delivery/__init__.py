"""Progressive delivery: from one version that serves to the next, as a pure state machine that a driver asks again and again.

`strategies` is what a user writes, `stages` what it means, `deliveries` what is kept and what is seen, `actions` what is to be done;
`progressing.next` goes from the one to the other, `analysing` judges, `explaining` says it in words. Nothing here touches the outside.
"""
