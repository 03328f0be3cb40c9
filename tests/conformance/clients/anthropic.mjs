// Anthropic's own library for JavaScript against a server: node anthropic.mjs URL MODEL KEY TYPES. Says "ok"
// and what it did, and writes answers and events as they came into TYPES, for the compiler to compare
// with the library's types.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import Anthropic from '@anthropic-ai/sdk'
import { seenLeaving } from './left.mjs'

const [baseURL, model, slowKey, types] = process.argv.slice(2)
const client = new Anthropic({ baseURL, apiKey: 'any', maxRetries: 0 })
const messages = [{ role: 'user', content: 'Who is there?' }]
const ask = { model, messages, max_tokens: 12, seed: 7 }
const typed = []

const page = await client.models.list()
assert(page.data.some((m) => m.id === model && m.type === 'model'))
const info = await client.models.retrieve(model)
assert.equal(info.id, model)
assert(!Number.isNaN(Date.parse(info.created_at)))
typed.push(['Anthropic.ModelInfo', info])

const whole = await client.messages.create(ask)
assert(whole._request_id.startsWith('req_'))
assert.equal(whole.content[0].type, 'text')
assert(whole.content[0].text.length > 0)
assert(['end_turn', 'max_tokens'].includes(whole.stop_reason))
typed.push(['Anthropic.Message', whole])

const names = []
for await (const event of await client.messages.create({ ...ask, stream: true })) {
  names.push(event.type)
  typed.push(['Anthropic.RawMessageStreamEvent', event])
}
assert.equal(names[0], 'message_start')
assert.equal(names.at(-1), 'message_stop')

let text = ''
const stream = client.messages.stream(ask).on('text', (piece) => (text += piece))
const final = await stream.finalMessage()
assert.equal(text, whole.content[0].text)
assert.equal(final.content[0].text, text)
assert.equal(final.stop_reason, whole.stop_reason)
assert.equal(final.usage.output_tokens, whole.usage.output_tokens)

const counted = await client.messages.countTokens({ model, messages, system: 'Be brief.' })
const used = (await client.messages.create({ ...ask, system: [{ type: 'text', text: 'Be brief.' }] })).usage
assert.equal(counted.input_tokens, used.input_tokens + used.cache_read_input_tokens)
typed.push(['Anthropic.MessageTokensCount', counted])

const long = { ...ask, system: 'The same beginning each time. '.repeat(20) }
await client.messages.create(long)
assert((await client.messages.create(long)).usage.cache_read_input_tokens >= 64)

const greedy = { ...ask, max_tokens: 40, temperature: 0, ignore_eos: true }
const all = (await client.messages.create(greedy)).content[0].text
const stop = all.slice(5, 8)
const cut = await client.messages.create({ ...greedy, stop_sequences: ['no such text', stop] })
assert.equal(cut.content[0].text, all.slice(0, all.indexOf(stop)))
assert.deepEqual([cut.stop_reason, cut.stop_sequence], ['stop_sequence', stop])
typed.push(['Anthropic.Message', cut])

await assert.rejects(client.messages.create({ ...ask, model: 'nobody' }), (e) => {
  typed.push(['Anthropic.ErrorResponse', e.error])
  return e instanceof Anthropic.NotFoundError && e.requestID === e.error.request_id && e.type === 'not_found_error'
})
await assert.rejects(client.messages.create({ ...ask, temperature: 'hot' }), Anthropic.BadRequestError)
const at = { type: 'object', properties: { at: { enum: ['moon', 'sun'] } }, required: ['at'], additionalProperties: false }
const tools = [{ name: 'look', description: 'looks', input_schema: at }]
const forced = { ...ask, tools, tool_choice: { type: 'any', disable_parallel_tool_use: true }, max_tokens: 100 }
const called = await client.messages.create(forced)
assert.equal(called.stop_reason, 'tool_use')
const use = called.content.find((b) => b.type === 'tool_use')
assert.ok(use.name === 'look' && ['moon', 'sun'].includes(use.input.at))
typed.push(['Anthropic.Message', called])
const live = await client.messages.stream(forced).finalMessage()
assert.ok(['moon', 'sun'].includes(live.content.find((b) => b.type === 'tool_use').input.at))
const loop = [
  ...ask.messages,
  { role: 'assistant', content: called.content },
  { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: 'full '.repeat(100) }] },
]
const told = (await client.messages.create({ ...ask, tools, messages: loop })).usage
const read = (usage) => usage.input_tokens + usage.cache_read_input_tokens
assert.ok(told.output_tokens > 0 && read(told) > read(called.usage) + 90) // the result was before the model
await assert.rejects(client.messages.create({ ...forced, tool_choice: { type: 'tool', name: 'hear' } }), /hear/)
const stranger = new Anthropic({ baseURL, authToken: 'hk-nobodys', apiKey: null, maxRetries: 0 })
await assert.rejects(stranger.messages.create(ask), Anthropic.AuthenticationError)

const slow = new Anthropic({ baseURL, apiKey: slowKey, maxRetries: 0 })
await assert.rejects(
  (async () => {
    for (let i = 0; i < 3; i++) await slow.messages.create(ask)
  })(),
  (e) => {
    typed.push(['Anthropic.ErrorResponse', e.error])
    return e instanceof Anthropic.RateLimitError && Number(e.headers.get('retry-after')) > 0
  },
)

let pieces
await seenLeaving(baseURL, async () => {
  const endless = client.messages.stream({ ...greedy, max_tokens: 900 })
  pieces = 0
  const left = async () => {
    for await (const event of endless) if (event.type === 'content_block_delta' && ++pieces === 3) endless.abort()
    await endless.finalMessage()
  }
  await assert.rejects(left(), Anthropic.APIUserAbortError)
  assert(pieces >= 3)
})

const many = await Promise.all(
  Array.from({ length: 20 }, (_, i) => client.messages.create({ ...ask, seed: i % 4 })),
)
for (let i = 4; i < 20; i++) assert.equal(many[i].content[0].text, many[i % 4].content[0].text)

const lines = ["import Anthropic from '@anthropic-ai/sdk'"]
typed.forEach(([type, value], i) => lines.push(`export const v${i}: ${type} = ${JSON.stringify(value)}`))
writeFileSync(types, lines.join('\n') + '\n')
console.log('ok', text.length, pieces, many.length, typed.length)
