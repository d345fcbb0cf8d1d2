"""What policies may say of a plan, and what becomes of one that does not work."""

from __future__ import annotations

import json
from functools import partial

import pytest

from mlops.core import plans
from mlops.core.addresses import Address
from mlops.core.errors import PlanError, PolicyDenied, Refused, Unavailable
from mlops.core.plans import Action, Change, Plan, Reason
from mlops.core.rulings import Effect, Ruling
from mlops.policies.judging import enforce, judge
from mlops.world import deadlines

CHANGE = Change(Address("model.a"), Action.CREATE, (Reason("new"),), body={"pickle": True})
PLAN = plans.identify(Plan(plans.FORMAT, "", "demo", "dev", (CHANGE,), ()))


def no_pickle(plan):
    for change in plan["changes"]:
        if change["body"].get("pickle"):
            yield {"effect": "deny", "address": change["address"], "message": "pickle runs any code when it is loaded"}


def spoil(plan):
    plan["changes"].clear()
    return []


def raising(plan):
    yield {"effect": "warn", "message": "before"}
    plan["nothing"]


def at_once(call):
    return call()


def judged(*policies, document=None, within=at_once):
    functions = {policy: policy for policy in policies if callable(policy)}
    names = {function: f"checks:{function.__name__}" for function in functions}

    def load(entry):
        return next(function for function, name in names.items() if name == entry)

    def evaluate(_path, text):
        if isinstance(document, Exception):
            raise document
        assert json.loads(text) == plans.to_json(PLAN)
        return document

    return judge([names.get(policy, policy) for policy in policies], PLAN, load, evaluate, within)


def test_a_function_denies_or_warns():
    assert judged(no_pickle) == (Ruling("checks:no_pickle", Effect.DENY, "pickle runs any code when it is loaded", "model.a"),)


def test_each_policy_sees_the_plan_as_it_is_whatever_another_one_did_to_it():
    assert [ruling.policy for ruling in judged(spoil, no_pickle)] == ["checks:no_pickle"]
    assert PLAN.changes


def test_a_policy_that_raises_denies_by_its_name_and_line_and_the_others_speak_all_the_same():
    warned, denied, other = judged(raising, no_pickle)
    assert (warned.effect, warned.message) == (Effect.WARN, "before")
    assert (denied.policy, denied.effect) == ("checks:raising", Effect.DENY)
    line = raising.__code__.co_firstlineno + 2
    assert denied.message == f"this policy does not work: KeyError: 'nothing' (test_judging.py:{line})"
    assert other.policy == "checks:no_pickle"


def test_a_policy_that_leaves_or_cannot_be_loaded_denies():
    def leave(_plan):
        raise SystemExit(0)

    assert judged(leave)[0].effect is Effect.DENY
    (denied,) = judge(["checks:gone"], PLAN, _refuse, None, at_once)
    assert denied == Ruling("checks:gone", Effect.DENY, "this policy does not work: there is no module checks in src/; write it")


def _refuse(_entry):
    message = "there is no module checks in src/"
    raise Refused(message, "write it")


@pytest.mark.parametrize(
    "said",
    [
        None,
        "no",
        True,
        {"effect": "deny", "message": "not in a list"},
        ["no"],
        [{"effect": "deni", "message": "x"}],
        [{"effect": "deny"}],
        [{"effect": "deny", "message": 3}],
        [{"effect": "deny", "message": "x", "address": 3}],
        [{"effect": "deny", "mesage": "x"}],
        [{"effect": ["deny"], "message": "x"}],
    ],
)
def test_what_is_no_ruling_denies_and_says_what_a_ruling_is(said):
    def policy(_plan):
        return said

    (denied,) = judged(policy)
    assert denied.effect is Effect.DENY
    assert denied.message.startswith("this policy does not work: it gave ")
    assert '"effect": "deny" or "warn"' in denied.message


def test_what_a_policy_prints_does_not_reach_standard_output(capsys):
    def policy(_plan):
        print("debug")  # noqa: T201 - that is the point
        return []

    assert judged(policy) == ()
    assert capsys.readouterr() == ("", "debug\n")


def test_rego_rules_give_sets_or_objects_of_messages():
    document = {"deny": ["b", {"message": "c", "address": "model.a"}, {"msg": "d"}], "warn": {"e": True}, "helper": 3}
    assert judged("p.rego", document=document) == (
        Ruling("p.rego", Effect.DENY, "b"),
        Ruling("p.rego", Effect.DENY, "c", "model.a"),
        Ruling("p.rego", Effect.DENY, "d"),
        Ruling("p.rego", Effect.WARN, "e"),
    )


@pytest.mark.parametrize("document", [None, {}, {"denny": []}, {"deny": True}, {"deny": "text"}, Refused("rego_parse_error")])
def test_rego_without_the_rules_that_were_meant_denies(document):
    (denied,) = judged("p.rego", document=document)
    assert (denied.policy, denied.effect) == ("p.rego", Effect.DENY)
    assert denied.message.startswith("this policy does not work: ")


def test_without_opa_there_is_no_plan():
    with pytest.raises(PlanError, match="need the program") as caught:
        judged("p.rego", document=Unavailable("policies in Rego need the program 'opa'", "install it"))
    assert caught.value.hint == "install it"


def test_all_denials_are_told_at_once_and_warnings_stop_nothing():
    warning = Ruling("a:b", Effect.WARN, "odd")
    enforce([warning])
    with pytest.raises(PolicyDenied) as caught:
        enforce([warning, Ruling("a:c", Effect.DENY, "no", "model.a"), Ruling("p.rego", Effect.DENY, "never\never")])
    assert caught.value.message == ("the project's policies deny this plan:\n  a:c: model.a: no\n  p.rego: never\n  ever")
    assert (caught.value.code, caught.value.exit_code) == ("policy-denied", 1)


def for_ever(plan):
    yield {"effect": "warn", "message": "before"}
    while True:
        pass


def test_a_policy_that_does_not_end_is_ended_and_denies_and_the_others_speak_all_the_same():
    found = judged(for_ever, no_pickle, within=partial(deadlines.within, 0.3))
    assert [(ruling.policy, ruling.effect) for ruling in found] == [
        ("checks:for_ever", Effect.DENY),
        ("checks:no_pickle", Effect.DENY),
    ]
    assert found[0].message.startswith("this policy does not work: it took more than 0.3 s")
