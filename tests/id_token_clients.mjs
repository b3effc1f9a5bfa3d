// Asks for an ID token as actions do, with GitHub's own client, and verifies it with a library that knows only the issuer.
const [, , core, jose, issuer] = process.argv
const { getIDToken } = await import(core)
const { createRemoteJWKSet, jwtVerify } = await import(jose)
try {
  const token = await getIDToken("abreast")
  const { jwks_uri } = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
  const keys = createRemoteJWKSet(new URL(jwks_uri))
  const { payload } = await jwtVerify(token, keys, { issuer, audience: "abreast", requiredClaims: ["sub", "jti"] })
  console.log(JSON.stringify(payload))
} catch (error) {
  console.log(JSON.stringify({ error: error.message }))
}
process.exit()
