// What Netlify's own parsers and its own matcher make of the rules of sites.
// node netlify_rules.mjs NODE_MODULES < sites.json, where a site is {folder, requests: [{path, query, language, cookies, host}]}

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const modules = process.argv[2]
const load = (name, file) => import(join(modules, name, file))
const { parseAllRedirects } = await load('@netlify/redirect-parser', 'lib/index.js')
const { parseAllHeaders } = await load('@netlify/headers-parser', 'lib/index.js')
const redirector = createRequire(import.meta.url)(join(modules, 'netlify-redirector'))

function forMatcher({ from, query, ...redirect }) {
  return { ...redirect, origin: from, params: query }
}

async function inspect({ folder, requests }) {
  const netlifyConfigPath = join(folder, 'netlify.toml')
  const parsed = await parseAllRedirects({ redirectsFiles: [join(folder, '_redirects')], netlifyConfigPath })
  const { headers, errors } = await parseAllHeaders({ headersFiles: [join(folder, '_headers')], netlifyConfigPath })
  const unsigned = parsed.redirects.filter((redirect) => !redirect.signed)
  const options = { jwtSecret: 'secret', jwtRoleClaim: 'roles' }
  const matcher = unsigned.length ? await redirector.parseJSON(JSON.stringify(unsigned.map(forMatcher)), options) : { match: () => null }
  const matches = requests.map(({ path, query, language, cookies, host }) => {
    const match = matcher.match({
      scheme: 'http', host, path, query,
      getHeader: (name) => (name.toLowerCase() === 'x-language' ? language : ''),
      getCookie: (name) => cookies[name] ?? '',
    })
    return match && { to: match.to, status: match.status, force: match.force }
  })
  const matching = requests.map(({ path }) =>
    headers.filter(({ forRegExp }) => forRegExp.test(path)).reduce((all, { values }) => ({ ...all, ...values }), {}),
  )
  return {
    redirects: parsed.redirects, headers: headers.map(({ for: path, values }) => ({ path, values })),
    errors: parsed.errors.length + errors.length, matches, matching,
  }
}

const sites = JSON.parse(readFileSync(0, 'utf8'))
console.log(JSON.stringify(await Promise.all(sites.map(inspect))))
