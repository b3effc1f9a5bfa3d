"""Patterns of unknown secrets: tokens of clouds and platforms, keys, passwords in URLs.

Two engines read each pattern. The secret is its group, if it has one, else the whole match. Providers publish these
formats for scanners; see https://docs.github.com/code-security/secret-scanning.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple


class SecretPattern(NamedTuple):
    """One kind of secret. Every text that contains one contains one of the lower-case ``markers``."""

    markers: str
    regex: str


SECRET_PATTERNS: Mapping[str, SecretPattern] = {
    "age-key": SecretPattern("age-secret-key-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    "anthropic-or-openai-key": SecretPattern("sk-", r"\bsk-[A-Za-z0-9_-]{20,}"),
    "aws-access-key": SecretPattern("akia asia abia acca", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    "aws-secret-key": SecretPattern(
        "aws",
        r"(?i)\baws_?(?:secret|session)[a-z_]{0,20}(?:\\?[\x22'])?\s{0,3}[:=]\s{0,3}(?:\\?[\x22'])?([A-Za-z0-9/+=]{30,})",
    ),
    "azure-key": SecretPattern(
        "accountkey= sharedaccesskey=", r"(?i)\b(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})"
    ),
    "azure-signature": SecretPattern("sig=", r"(?i)[?&]sig=([A-Za-z0-9%+/]{30,}={0,2})"),
    "basic-auth": SecretPattern(
        "authorization",
        r"(?i)\bauthorization(?:\\?[\x22'])?\s{0,3}[:=]\s{0,3}(?:\\?[\x22'])?basic\s{1,3}([A-Za-z0-9+/]{8,}={0,2})",
    ),
    "bearer-token": SecretPattern("bearer", r"(?i)\bbearer\s{1,3}([A-Za-z0-9._~+/-]{12,}={0,2})"),
    "databricks-token": SecretPattern("dapi", r"\bdapi[0-9a-f]{32}"),
    "digitalocean-token": SecretPattern("_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}"),
    "discord-webhook": SecretPattern(
        "/api/webhooks/", r"(?i)discord(?:app)?\.com/api/webhooks/\d{6,}/([A-Za-z0-9_-]{20,})"
    ),
    "docker-token": SecretPattern("dckr_", r"\bdckr_[op]at_[A-Za-z0-9_-]{20,}"),
    "fly-token": SecretPattern("fm1_ fm2_", r"\bfm[12]_[A-Za-z0-9+/=_-]{40,}"),
    "github-token": SecretPattern("ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{30,}"),
    "github-fine-grained-token": SecretPattern("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,}"),
    "gitlab-token": SecretPattern(
        "glpat- glptt- gldt- glrt- glcbt- glft- glsoat- glagent- glimt- gloas-",
        r"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|oas)-[A-Za-z0-9_-]{20,}",
    ),
    "google-api-key": SecretPattern("aiza", r"\bAIza[A-Za-z0-9_-]{35}"),
    "google-oauth": SecretPattern("gocspx- ya29.", r"\bGOCSPX-[A-Za-z0-9_-]{20,}|\bya29\.[A-Za-z0-9_-]{20,}"),
    "grafana-token": SecretPattern("glsa_ glc_", r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{32,}"),
    "heroku-key": SecretPattern("hrku-", r"\bHRKU-[A-Za-z0-9_-]{30,}"),
    "huggingface-token": SecretPattern("hf_", r"\bhf_[A-Za-z0-9]{30,}"),
    "json-web-token": SecretPattern("eyj", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "linear-key": SecretPattern("lin_", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
    "mailgun-key": SecretPattern("key-", r"\bkey-[0-9a-f]{32}\b"),
    "netlify-token": SecretPattern("nfp_ nfc_ nfo_ nfu_ nfb_", r"\bnf[pcoub]_[A-Za-z0-9]{30,}"),
    "new-relic-key": SecretPattern("nrak- nrjs- nrra-", r"\bNR(?:AK|JS|RA)-[A-Za-z0-9]{20,}"),
    "npm-token": SecretPattern("npm_ :_authtoken=", r"\bnpm_[A-Za-z0-9]{36}|:_authToken=([A-Za-z0-9_-]{20,})"),
    "planetscale-token": SecretPattern("pscale_", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{30,}"),
    "pypi-token": SecretPattern("pypi-", r"\bpypi-[A-Za-z0-9_-]{50,}"),
    "render-key": SecretPattern("rnd_", r"\brnd_[A-Za-z0-9]{20,}"),
    "secret-in-assignment": SecretPattern(
        "password passwd passphrase secret token apikey api_key accesskey access_key privatekey private_key",
        r"(?i)(?:password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key)(?:\\?[\x22'])?\s{0,3}[:=]\s{0,3}(?:\\?[\x22'])?(?=[^\s\x22',;]*\d)(?=[^\s\x22',;]*[A-Za-z])([^\s\x22'`,;(){}<>$]{12,})",
    ),
    "secret-in-header": SecretPattern(
        "x-api-key -token",
        r"(?i)\b(?:x-api-key|x-auth-token|private-token|x-[a-z-]{2,20}-token)(?:\\?[\x22'])?\s{0,3}[:=]\s{0,3}(?:\\?[\x22'])?([^\s\x22',;]{12,})",
    ),
    "secret-in-url": SecretPattern("://", r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\x22']{0,60}:([^\s/@\x22'${<]{3,})@"),
    "sendgrid-key": SecretPattern("sg.", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    "sentry-token": SecretPattern("sntrys_ sntryu_", r"\bsntry[su]_[A-Za-z0-9+/=_-]{30,}"),
    "shopify-token": SecretPattern("shpat_ shpca_ shppa_ shpss_", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    "slack-token": SecretPattern("xox xapp-", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{20,}"),
    "slack-webhook": SecretPattern(
        "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_-]{20,})"
    ),
    "stripe-key": SecretPattern(
        "sk_live_ sk_test_ rk_live_ rk_test_ whsec_",
        r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|\bwhsec_[A-Za-z0-9+/=]{24,}",
    ),
    "supabase-key": SecretPattern("sbp_ sb_secret_", r"\bsb(?:p|_secret)_[A-Za-z0-9_-]{20,}"),
    "telegram-token": SecretPattern(":aa", r"\b\d{8,10}:AA[A-Za-z0-9_-]{32,}"),
    "terraform-token": SecretPattern(".atlasv1.", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}"),
    "twilio-key": SecretPattern("sk", r"\bSK[0-9a-f]{32}\b"),
    "vault-token": SecretPattern("hvs. hvb. hvr.", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}"),
    "private-key": SecretPattern("-----begin ", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"),
}
"""By name. A private key extends to its end line."""

PRIVATE_KEY = "private-key"
KEY_END = re.compile(rb"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")


@cache
def compiled_pattern(name: str) -> re.Pattern[bytes]:
    """Return a pattern, compiled."""
    return re.compile(SECRET_PATTERNS[name].regex.encode())
