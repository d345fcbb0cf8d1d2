"""The verbs: order, observe, diff, plan, apply. Pure except through the protocols of core."""
