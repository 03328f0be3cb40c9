// Ollama's own library for JavaScript against a server: node ollama.mjs URL MODEL KEY. Says "ok" and what it did.
import assert from 'node:assert/strict'
import { Ollama } from 'ollama'
import { seenLeaving } from './left.mjs'

const [host, model, slowKey] = process.argv.slice(2)
const client = new Ollama({ host })
const options = { num_predict: 12, seed: 7 }
const messages = [{ role: 'user', content: 'Who is there?' }]

const list = await client.list()
assert(list.models.some((m) => m.name === `${model}:latest`))
assert.equal((await client.show({ model })).details.format, 'gguf')

const whole = await client.chat({ model, messages, options })
assert(whole.message.content.length > 0)
assert(whole.done && ['stop', 'length'].includes(whole.done_reason))
for (const key of ['total_duration', 'prompt_eval_duration', 'eval_duration', 'prompt_eval_count', 'eval_count'])
  assert(Number.isInteger(whole[key]) && whole[key] > 0, key)

let text = ''
let last
for await (const part of await client.chat({ model, messages, options, stream: true })) {
  text += part.message.content
  last = part
}
assert.equal(text, whole.message.content)
assert.equal(last.eval_count, whole.eval_count)

const generated = await client.generate({ model, prompt: 'To be', options })
const stop = generated.response.trim().slice(3, 5)
const cut = await client.generate({ model, prompt: 'To be', options: { ...options, stop: [stop] } })
assert.equal(cut.response, generated.response.split(stop)[0])
assert.equal(cut.done_reason, 'stop')

const vectors = await client.embed({ model, input: ['To be', 'or not to be'] })
assert.equal(vectors.embeddings.length, 2)
assert.equal(vectors.embeddings[0].length, vectors.embeddings[1].length)
assert((await client.embeddings({ model, prompt: 'To be' })).embedding.length > 0)

const kind = { enum: ['king', 'fool'] }
const kinds = { type: 'object', properties: { kind }, required: ['kind'], additionalProperties: false }
const formed = await client.chat({ model, messages, format: kinds })
assert(['king', 'fool'].includes(JSON.parse(formed.message.content).kind))

// Ollama's API has no word for a call that must be; the server has, and it is put in on the way.
const look = {
  type: 'function',
  function: {
    name: 'look',
    description: 'Looks there',
    parameters: {
      type: 'object',
      properties: { where: { enum: ['door', 'wall'] } },
      required: ['where'],
      additionalProperties: false,
    },
  },
}
const once = { tool_choice: 'required', parallel_tool_calls: false }
const must = (to, init) => fetch(to, { ...init, body: JSON.stringify({ ...JSON.parse(init.body), ...once }) })
const forced = new Ollama({ host, fetch: must })
const calling = { model, messages, tools: [look], options: { ...options, num_predict: 200 } }
const called = await forced.chat(calling)
const [call] = called.message.tool_calls
assert.equal(call.function.name, 'look')
assert(['door', 'wall'].includes(call.function.arguments.where))
const calls = []
for await (const part of await forced.chat({ ...calling, stream: true })) calls.push(...(part.message.tool_calls ?? []))
assert.deepEqual(calls.map((c) => c.function), [call.function])
const talk = [...messages, called.message, { role: 'tool', tool_name: 'look', content: 'Nobody. '.repeat(60) }]
const told = await client.chat({ model, messages: talk, tools: [look], options })
assert(told.done && told.prompt_eval_count > called.prompt_eval_count + 90)

await assert.rejects(
  client.chat({ model: 'nobody', messages }),
  (e) => e.status_code === 404 && /not found/.test(e.message),
)
await assert.rejects(client.generate({ model, prompt: 'x', options: { temperature: 'hot' } }), /temperature/)
await assert.rejects(client.pull({ model: 'x', stream: false }), /administration/) // once there are keys

const stranger = new Ollama({ host, headers: { Authorization: 'Bearer hk-nobodys' } })
await assert.rejects(stranger.chat({ model, messages }), (e) => e.status_code === 401)
const slow = new Ollama({ host, headers: { Authorization: `Bearer ${slowKey}` } })
await assert.rejects(
  (async () => {
    for (let i = 0; i < 3; i++) await slow.chat({ model, messages, options })
  })(),
  (e) => e.status_code === 429,
)

const unending = { ignore_eos: true, num_predict: 900 }
let parts
await seenLeaving(host, async () => {
  const endless = await client.generate({ model, prompt: 'O', stream: true, options: unending })
  parts = 0
  const left = async () => {
    for await (const part of endless) if (part.response && ++parts === 3) endless.abort()
  }
  await assert.rejects(left(), { name: 'AbortError' })
  assert.equal(parts >= 3, true)
})

const many = await Promise.all(
  Array.from({ length: 20 }, (_, i) => client.chat({ model, messages, options: { ...options, seed: i % 4 } })),
)
for (let i = 4; i < 20; i++) assert.equal(many[i].message.content, many[i % 4].message.content)

assert((await client.ps()).models.some((m) => m.name === `${model}:latest`))
console.log('ok', text.length, parts, many.length)
