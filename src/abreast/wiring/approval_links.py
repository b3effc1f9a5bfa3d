"""The keys of approval links: who makes them, and with which key they are verified where it is not."""

from collections.abc import Mapping
from functools import partial

from abreast.config.load import ProjectConfig
from abreast.config.names import project_name
from abreast.core.approvals.link import LinkClaims, make_link, read_link
from abreast.core.approvals.rule import ApprovalRule, vote_refusal
from abreast.core.errors import RefusedError, UsageError
from abreast.core.plan import Plan
from abreast.core.secrets import Secret
from abreast.deploy.chapters.approval import approval_request
from abreast.ledger.checkpoints import CheckpointSigner, VerifierKey
from abreast.ledger.sqlite import SqliteLedger
from abreast.notify.interface import Notifier
from abreast.wiring.audit_key import KEY_VARIABLE, given_signer, known_signers
from abreast.wiring.notifiers import approval_mail, create_approver_notifier
from abreast.wiring.workspace import Workspace

PUBLIC_KEY_VARIABLE = "ABREAST_AUDIT_PUBLIC_KEY"
"""The public key of the audit trail, ``NAME+ID+KEY``, for machines that may verify and not sign."""


def link_signer(workspace: Workspace) -> CheckpointSigner:
    """Return who signs links. Raises UsageError if the key is not here: one of this machine nobody else would know."""
    if signer := given_signer(workspace):
        return signer
    raise UsageError(
        f"there is no key to sign an approval link with: {KEY_VARIABLE} is not set",
        need=f"{KEY_VARIABLE}, 32 random bytes in base64, as a secret of whatever deploys",
        next="openssl rand -base64 32",
    )


def signed_link(signer: CheckpointSigner, ledger: SqliteLedger, deployment: str, person: str, expires: str) -> Secret:
    """Return the link of a person for a deployment that waits. The key is recorded with a checkpoint, if it is new.

    So every clone that reads the record can verify the link.
    """
    if next(iter(ledger.checkpoint_keys()), "") != str(signer.key):
        ledger.record_checkpoint(signer)
    rule = ledger.stored_plan(deployment).approval
    claims = LinkClaims(signer.project, person, deployment, ledger.plan_digest(deployment), expires)
    return make_link(signer.private, claims, rule.url if rule else "")


def approver_notifiers(
    workspace: Workspace, project: ProjectConfig, ledger: SqliteLedger, plan: Plan
) -> list[Notifier]:
    """Return who tells each person that may approve a deployment, and has an address, with a link of their own."""
    receiver = approval_mail(project.notifiers, plan.environment)
    signer = given_signer(workspace)
    if plan.approval is None or plan.approval.needs_id_token or plan.emergency or receiver is None or signer is None:
        return []
    return [
        create_approver_notifier(
            project.name, receiver, workspace.variables, person, address,
            partial(_waiting_link, signer, ledger, plan, person),
        )
        for person, address in _addresses(project, plan.approval).items()
        if not vote_refusal(plan.approval, person, plan.authors)
    ]  # fmt: skip


def _waiting_link(signer: CheckpointSigner, ledger: SqliteLedger, plan: Plan, person: str) -> Secret:
    expires = approval_request(plan, ledger.events(plan.deployment)).expires
    return signed_link(signer, ledger, plan.deployment, person, expires)


def links_refusal(workspace: Workspace, project: ProjectConfig, environment: str, rule: ApprovalRule) -> str:
    """Return why people of a rule who have an address get no link by mail, "" if they do, or none has one."""
    if not _addresses(project, rule):
        return ""
    if rule.needs_id_token:
        return f"nobody is sent a link to approve by: {environment} has `identity: id-token`, and a link proves less"
    if approval_mail(project.notifiers, environment) is None:
        return f"nobody is sent a link to approve by: `notify` has no receiver `email` for {environment}"
    try:
        link_signer(workspace)
    except UsageError as error:
        return f"nobody is sent a link to approve by: {error.what}; next: {error.next}"
    return ""


def _addresses(project: ProjectConfig, rule: ApprovalRule) -> Mapping[str, str]:
    """Return the addresses of those of a rule's people who have one, by their names in the rule."""
    known = {name.casefold(): person.email for name, person in project.people.items()}
    return {person: address for person in rule.people if (address := known.get(person.casefold()))}


def verified_claims(workspace: Workspace, ledger: SqliteLedger, link: str) -> LinkClaims:
    """Return what a link is for. Raises RefusedError if the key known here did not sign it for this project.

    That is the key of the variables, private or public. Without them it is the one that signed the newest checkpoint
    of the record, which cannot be this machine's own.
    """
    key = _link_key(workspace, ledger)
    try:
        claims = read_link(link, key.public)
    except ValueError as error:
        raise RefusedError(
            f"this approval link is not one that {key.name}+{key.id.hex()} signed: {error}",
            need="a whole link, as it was sent; anybody could have changed another one",
            next="abreast approve DEPLOYMENT, as yourself",
        ) from error
    project = project_name(workspace.config_file)
    if claims.project != project:
        raise RefusedError(
            f"this approval link is for the project {claims.project}, and this is {project}",
            need=f"a clone of {claims.project}",
        )
    return claims


def _link_key(workspace: Workspace, ledger: SqliteLedger) -> VerifierKey:
    if signer := given_signer(workspace):
        return signer.key
    if text := workspace.variables.get(PUBLIC_KEY_VARIABLE):
        try:
            return VerifierKey.parse(text)
        except ValueError as error:
            need = "NAME+ID+KEY, as `abreast audit export --checkpoint FILE` prints it"
            raise UsageError(f"{PUBLIC_KEY_VARIABLE} is {error}", need=need) from error
    own = {str(signer.key) for signer in known_signers(workspace)}
    recorded = (text for text in ledger.checkpoint_keys() if text not in own)
    try:
        return VerifierKey.parse(next(recorded, ""))
    except ValueError as error:
        raise RefusedError(
            "no key is known here that could have signed this approval link",
            need=f"{PUBLIC_KEY_VARIABLE}, or a record with a checkpoint of {KEY_VARIABLE}",
            next="abreast approve DEPLOYMENT, as yourself",
        ) from error
