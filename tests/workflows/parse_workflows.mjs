// What GitHub's own parser says of workflows.
// node parse_workflows.mjs NODE_MODULES FILE… prints {FILE: [error, …]}

import { readFileSync } from 'node:fs'
import { register } from 'node:module'
import { join } from 'node:path'

// Its JSON is imported without an attribute, which Node wants.
const hook = `export async function load(url, context, next) {
  if (!url.endsWith('.json')) return next(url, context)
  const { readFileSync } = await import('node:fs')
  const source = 'export default ' + readFileSync(new URL(url), 'utf8')
  return { format: 'module', source, shortCircuit: true }
}`
register('data:text/javascript,' + encodeURIComponent(hook))

const [modules, ...files] = process.argv.slice(2)
const parser = await import(join(modules, '@actions/workflow-parser/dist/index.js'))

async function errorsOf(name) {
  const trace = new parser.NoOperationTraceWriter()
  const { context, value } = parser.parseWorkflow({ name, content: readFileSync(name, 'utf8') }, trace)
  const template = value ? await parser.convertWorkflowTemplate(context, value) : { errors: [] }
  return [...context.errors.getErrors().map((error) => error.message), ...(template.errors ?? []).map((error) => error.Message)]
}

const found = await Promise.all(files.map(async (file) => [file, await errorsOf(file)]))
console.log(JSON.stringify(Object.fromEntries(found)))
