from runwright.trackingstack.parts import Part
from runwright.trackingstack.policies.secrets import missing, unusable, wrongly_owned
from runwright.trackingstack.values import owner_reference
from tests.trackingstack.samples import claim, own_secrets, secret, seen, stack, view

BASIC = {"server": {"auth": "Basic"}}
EMPTY = {Part.DATABASE: view(stack(), Part.DATABASE, claim=None)}
"""A database without a volume yet."""
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "other"}


def test_what_is_there_is_not_made_whoever_made_it() -> None:
    of = stack(BASIC)
    assert missing(of, seen(of)) == ()
    few = {"a-mlflow-client": secret("a-mlflow-client")}
    made = missing(of, seen(of, EMPTY, secrets=few))
    assert [m.secret.name for m in made] == [
        "a-postgresql-credentials",
        "a-object-store-credentials",
        "a-mlflow-operator",
    ]


def test_external_parts_need_no_secret_of_ours() -> None:
    of = stack({"postgresql": {"external": {"host": "h", "secretRef": {"name": "pg"}}}})
    assert [m.secret.name for m in missing(of, seen(of, secrets={}))] == ["a-object-store-credentials"]


def test_passwords_go_with_the_stack_only_when_they_shall() -> None:
    kept, gone = stack(), stack({"deletionPolicy": "Delete"})
    assert [m.owners for m in missing(kept, seen(kept, EMPTY, secrets={}))] == [(), ()]
    assert [m.owners for m in missing(gone, seen(gone, EMPTY, secrets={}))] == [(owner_reference(gone),)] * 2


def test_owners_follow_the_deletion_policy_and_others_stay() -> None:
    kept, gone = stack(), stack({"deletionPolicy": "Delete"})
    ours = owner_reference(kept)
    assert wrongly_owned(kept, seen(kept)) == ()
    assert wrongly_owned(gone, seen(gone, secrets=own_secrets(gone, (ours,)))) == ()
    let_go = wrongly_owned(kept, seen(kept, secrets=own_secrets(kept, (OTHER, ours))))
    assert [action.owners for action in let_go] == [(OTHER,), (OTHER,)]
    taken = wrongly_owned(gone, seen(gone, secrets=own_secrets(gone, (OTHER,))))
    assert [action.owners for action in taken] == [(OTHER, ours), (OTHER, ours)]
    assert {action.resource_version for action in taken} == {"7"}


def test_what_goes_with_an_earlier_stack_is_not_taken() -> None:
    of = stack({"deletionPolicy": "Delete"})
    earlier = {**owner_reference(of), "uid": "earlier"}
    assert wrongly_owned(of, seen(of, secrets=own_secrets(of, (earlier,)))) == ()


def test_a_named_secret_must_be_there_with_its_keys() -> None:
    of = stack({"postgresql": {"external": {"host": "h", "secretRef": {"name": "pg"}}}})
    problem = unusable(of, seen(of), Part.SERVER)
    assert problem is not None
    assert (problem.reason, problem.message) == (
        "SecretNotFound",
        "spec.postgresql.external.secretRef.name: there is no Secret pg; create it",
    )
    half = seen(of, secrets={**own_secrets(of), "pg": secret("pg", "username")})
    problem = unusable(of, half, Part.SERVER)
    assert problem is not None
    assert problem.message == (
        "spec.postgresql.external.secretRef.name: Secret pg has no password and no database; add it"
    )
    assert unusable(of, half, Part.STORE) is None
    whole = seen(of, secrets={**own_secrets(of), "pg": secret("pg", "username", "password", "database")})
    assert unusable(of, whole, Part.SERVER) is None


def test_a_password_of_ours_that_lost_its_key_is_told_never_replaced() -> None:
    of = stack()
    broken = own_secrets(of) | {"a-postgresql-credentials": secret("a-postgresql-credentials", "username", "database")}
    assert missing(of, seen(of, secrets=broken)) == ()
    problem = unusable(of, seen(of, secrets=broken), Part.DATABASE)
    assert problem is not None
    assert problem.message.startswith("Secret a-postgresql-credentials has no password: put it back")


def test_a_database_keeps_its_password_so_no_other_is_made_for_its_volume() -> None:
    of = stack()
    few = {name: found for name, found in own_secrets(of).items() if "postgresql" not in name}
    look = seen(of, secrets=few)
    assert missing(of, look) == ()
    problem = unusable(of, look, Part.DATABASE)
    assert problem is not None
    assert problem.message == (
        "Secret a-postgresql-credentials is gone, and the database in volume claim data-a-postgresql-0 keeps its "
        "password: put it back, or delete stack and claim to begin with an empty database"
    )
    going = seen(of, {Part.DATABASE: view(of, Part.DATABASE, claim=claim(deleting=True))}, secrets=few)
    assert missing(of, going) == ()
    assert unusable(of, going, Part.DATABASE) is None
    assert [m.secret.name for m in missing(of, seen(of, EMPTY, secrets=few))] == ["a-postgresql-credentials"]
    store = {name: found for name, found in own_secrets(of).items() if "store" not in name}
    assert [m.secret.name for m in missing(of, seen(of, secrets=store))] == ["a-object-store-credentials"]


def test_a_server_may_do_without_an_authority_of_its_own() -> None:
    of = stack({"server": {"tlsSecretName": "tls"}, "postgresql": {"tlsSecretName": "tls"}})
    look = seen(of, secrets={**own_secrets(of), "tls": secret("tls", "tls.crt", "tls.key")})
    assert unusable(of, look, Part.SERVER) is None
    problem = unusable(of, look, Part.DATABASE)
    assert problem is not None
    assert problem.message == "spec.postgresql.tlsSecretName: Secret tls has no ca.crt; add it"
