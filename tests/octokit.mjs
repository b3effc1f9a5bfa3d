// Calls GitHub's own client for JavaScript, one call a line; it answers {status, data, headers} a line.
import { createInterface } from "node:readline"
const [, , rest, webhooks, baseUrl, auth] = process.argv
const { Octokit } = await import(rest)
const { verify } = await import(webhooks)
const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const octokit = new Octokit({ baseUrl, auth, log: quiet })
for await (const line of createInterface({ input: process.stdin })) {
  const { call, params } = JSON.parse(line)
  try {
    if (call === "verify") {
      console.log(JSON.stringify({ status: 200, data: await verify(params.secret, params.body, params.signature) }))
    } else if (call.startsWith("paginate ")) {
      const [scope, name] = call.slice(9).split(".")
      console.log(JSON.stringify({ status: 200, data: await octokit.paginate(octokit.rest[scope][name], params) }))
    } else {
      const [scope, name] = call.split(".")
      const made = call.includes(" /") ? octokit.request(call, params) : octokit.rest[scope][name](params)
      const { status, data, headers } = await made
      console.log(JSON.stringify({ status, data: data ?? null, headers }))
    }
  } catch (error) {
    const headers = error.response?.headers
    console.log(JSON.stringify({ status: error.status ?? 0, data: error.message, headers }))
  }
}
