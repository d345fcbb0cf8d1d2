"""Policies: what a project itself demands of every plan, as Python or Rego; they see the plan as JSON and may deny it or warn."""
