// Models through Ollama's own library for JavaScript: node ollama_models.mjs URL; what to get and send is in the
// environment, see test_ollama_models.py. Says "ok" and what it did.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { Ollama } from 'ollama'

const [host] = process.argv.slice(2)
const { HEARTH_PULL: name, HEARTH_PUSH: pushed, HEARTH_Q8: q8, HEARTH_F16: f16, HEARTH_DIGEST: digest } = process.env
const client = new Ollama({ host })
const options = { num_predict: 8, seed: 7 }
const names = async () => (await client.list()).models.map((m) => m.name)
const fails = (promise, status) => assert.rejects(promise, (e) => e.status_code === status && e.message.length > 0)

let last
let parts = 0
for await (const step of await client.pull({ model: name, insecure: true, stream: true })) {
  last = step
  if (step.digest) parts++
}
assert.equal(last.status, 'success')
assert(parts >= 4)
assert.equal((await client.pull({ model: name, insecure: true })).status, 'success')
const row = (await client.list()).models.find((m) => m.name === name)
assert.equal(row.digest, digest)
assert(row.size > 1e6 && row.details.quantization_level === 'Q8_0' && Date.parse(row.modified_at) > 0)
const shown = await client.show({ model: name })
assert.equal(shown.license, 'Do as you please.')
assert.equal(shown.model_info['general.architecture'], shown.details.family)

assert.equal((await client.copy({ source: name, destination: 'js-copy' })).status, 'success')
const made = { model: 'js-mine', from: 'js-copy', system: 'You say little.', parameters: { temperature: 0.25, num_predict: 5 } }
const steps = []
for await (const step of await client.create({ ...made, stream: true })) steps.push(step.status)
assert.equal(steps.at(-1), 'success')
const mine = await client.show({ model: 'js-mine' })
assert.equal(mine.system, 'You say little.')
assert.match(mine.parameters, /num_predict +5/)
assert.equal((await client.generate({ model: 'js-mine', prompt: 'To be', options: { seed: 7 } })).eval_count, 5)

// The library for JavaScript sends no files itself; its users stream them so.
const sent = createHash('sha256').update(readFileSync(f16)).digest('hex')
const blob = `${host}/api/blobs/sha256:${sent}`
const upload = () => fetch(blob, { method: 'POST', body: createReadStream(f16), duplex: 'half' })
assert([200, 201].includes((await upload()).status)) // 200: the library for Python has sent it before
assert.equal((await fetch(blob, { method: 'HEAD' })).status, 200)
assert.equal((await upload()).status, 200)
const small = { model: 'js-small', files: { 'f16.gguf': `sha256:${sent}` }, quantize: 'q4_K_M' }
assert.equal((await client.create(small)).status, 'success')
assert.equal((await client.show({ model: 'js-small' })).details.quantization_level, 'Q4_K_M')
assert((await client.generate({ model: 'js-small', prompt: 'To be', options })).response.length > 0)

await client.copy({ source: name, destination: pushed })
for await (const step of await client.push({ model: pushed, insecure: true, stream: true })) last = step
assert.equal(last.status, 'success')

for (const model of [name, pushed, 'js-copy', 'js-mine', 'js-small'])
  assert.equal((await client.delete({ model })).status, 'success')
assert(!(await names()).some((n) => n.startsWith('js-') || n === name))
await fails(client.delete({ model: 'js-copy' }), 404)
await fails(client.show({ model: 'js-copy' }), 404)
await fails(client.copy({ source: 'js-copy', destination: 'x' }), 404)
await fails(client.create({ model: 'x', from: 'js-copy' }), 404)
await assert.rejects(client.pull({ model: `${name}x`, insecure: true }), /x/)
console.log('ok', parts, steps.length, q8.length > 0)
