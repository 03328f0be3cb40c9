// OpenAI's own library for JavaScript against a server: node openai.mjs URL MODEL KEY. Says "ok" and what it did.
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { seenLeaving } from './left.mjs'

const [url, model, slowKey] = process.argv.slice(2)
const baseURL = url + '/v1'
const client = new OpenAI({ baseURL, apiKey: 'any', maxRetries: 0 })
const messages = [{ role: 'user', content: 'Who is there?' }]
const ask = { model, messages, max_completion_tokens: 12, seed: 7 }
const greedy = { ...ask, max_completion_tokens: 40, temperature: 0, ignore_eos: true }
const textOf = (chunk) => chunk.choices[0]?.delta.content ?? ''

async function collect(stream) {
  const all = []
  for await (const one of stream) all.push(one)
  return all
}

// Lists.
const models = await collect(client.models.list())
assert(models.some((m) => m.id === model))
assert.equal((await client.models.retrieve(model)).object, 'model')

// Chat, and the same as a stream; usage, also of a stream, with what came from the cache.
const whole = await client.chat.completions.create(ask)
const text = whole.choices[0].message.content
assert(text.length > 0 && whole._request_id)
assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)
const chunks = await collect(await client.chat.completions.create({ ...ask, stream: true }))
assert.equal(chunks.map(textOf).join(''), text)
assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason)

const long = {
  ...ask,
  messages: [{ role: 'system', content: `The same beginning for ${model}. `.repeat(20) }, ...messages],
  stream: true,
  stream_options: { include_usage: true },
}
await collect(await client.chat.completions.create(long))
const usage = (await collect(await client.chat.completions.create(long))).at(-1).usage
assert(usage.prompt_tokens_details.cached_tokens >= 64 && usage.completion_tokens > 0)

let pieces = ''
const helper = client.chat.completions.stream(ask).on('content', (piece) => (pieces += piece))
assert.equal(await helper.finalContent(), text)
assert.equal(pieces, text)

// Stop.
const all = (await client.chat.completions.create(greedy)).choices[0].message.content
const stop = all.slice(5, 8)
for (const given of [stop, ['no such text', stop]]) {
  const cut = (await client.chat.completions.create({ ...greedy, stop: given })).choices[0]
  assert.equal(cut.message.content, all.slice(0, all.indexOf(stop)))
  assert.equal(cut.finish_reason, 'stop')
}

// Embeddings: packed as the library asks for them by itself, and as numbers.
const input = ['To be', 'or not to be']
const packed = await client.embeddings.create({ model, input })
const plain = await client.embeddings.create({ model, input, encoding_format: 'float' })
packed.data[1].embedding.forEach((v, i) => assert(Math.abs(v - plain.data[1].embedding[i]) < 1e-6))
assert.equal((await client.embeddings.create({ model, input, dimensions: 8 })).data[0].embedding.length, 8)

// Answers that obey a schema. With bounds: a model that knows no JSON sees no reason to end a text.
const Guest = z.object({
  name: z.string().max(12),
  kind: z.enum(['king', 'fool']),
  friends: z.array(z.string().max(6)).max(2),
})
const guest = zodResponseFormat(Guest, 'guest')
const parsed = await client.chat.completions.parse({ model, messages, seed: 7, response_format: guest })
assert(['king', 'fool'].includes(parsed.choices[0].message.parsed.kind))
const formed = await client.responses.parse({ model, input: 'Who?', text: { format: zodTextFormat(Guest, 'guest') } })
Guest.parse(formed.output_parsed)

// Tools: a call that must be, whole and streamed, and what came of it.
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
const use = { model, seed: 7, max_completion_tokens: 200, parallel_tool_calls: false, tools: [look] }
const called = await client.chat.completions.create({ ...use, messages, tool_choice: 'required' })
const [call] = called.choices[0].message.tool_calls
assert.equal(called.choices[0].finish_reason, 'tool_calls')
assert(['door', 'wall'].includes(JSON.parse(call.function.arguments).where))
const named = { type: 'function', function: { name: 'look' } }
const calling = await client.chat.completions.stream({ ...use, messages, tool_choice: named }).finalChatCompletion()
assert.equal(calling.choices[0].message.tool_calls[0].function.arguments, call.function.arguments)
const found = 'Nobody. '.repeat(60) // long, so that the count of tokens shows that the model was told
const result = { role: 'tool', tool_call_id: call.id, content: found }
const talk = [...messages, called.choices[0].message, result]
const told = await client.chat.completions.create({ ...use, messages: talk, tool_choice: 'none' })
assert(!told.choices[0].message.tool_calls?.length && told.usage.prompt_tokens > 120)

// The library's own loop: the model calls, the function runs, the model goes on.
let looked = 0
const run = { ...look.function, parse: JSON.parse, function: ({ where }) => (looked++, `Nobody at the ${where}.`) }
const runner = client.chat.completions.runTools(
  { ...use, messages, tool_choice: named, tools: [{ type: 'function', function: run }] },
  { maxChatCompletions: 3 },
)
await runner.done()
assert(looked > 0)

// Errors, by their classes.
await assert.rejects(
  client.chat.completions.create({ ...ask, model: 'nobody' }),
  (e) => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found' && e.requestID.length > 0,
)
await assert.rejects(
  client.chat.completions.create({ ...ask, temperature: 'hot' }),
  (e) => e instanceof OpenAI.BadRequestError && e.param === 'temperature',
)
await assert.rejects(
  client.chat.completions.create({ ...ask, messages: [{ role: 'user', content: 'word '.repeat(20000) }] }),
  (e) => e instanceof OpenAI.BadRequestError && e.code === 'context_length_exceeded',
)
const stranger = new OpenAI({ baseURL, apiKey: 'hk-nobodys', maxRetries: 0 })
await assert.rejects(stranger.chat.completions.create(ask), OpenAI.AuthenticationError)
const slow = new OpenAI({ baseURL, apiKey: slowKey, maxRetries: 0 })
await assert.rejects(
  (async () => {
    for (let i = 0; i < 3; i++) await slow.chat.completions.create(ask)
  })(),
  (e) => e instanceof OpenAI.RateLimitError && Number(e.headers.get('retry-after')) > 0,
)

// Streams that are left: by abort(), and by leaving the loop.
let heard
await seenLeaving(url, async () => {
  heard = 0
  const endless = await client.chat.completions.create({ ...greedy, max_completion_tokens: 900, stream: true })
  for await (const chunk of endless) if (textOf(chunk) && ++heard === 3) endless.controller.abort()
  assert.equal(heard, 3)
})
const unending = { model, input: 'O', stream: true, max_output_tokens: 900, ignore_eos: true }
await seenLeaving(url, async () => {
  heard = 3
  for await (const event of await client.responses.create(unending))
    if (event.type === 'response.output_text.delta' && ++heard === 6) break
  assert.equal(heard, 6)
})

// Twenty at once.
const many = await Promise.all(
  Array.from({ length: 20 }, (_, i) => client.chat.completions.create({ ...ask, seed: i % 4 })),
)
for (let i = 4; i < 20; i++) assert.equal(many[i].choices[0].message.content, many[i % 4].choices[0].message.content)

// Responses.
const wanted = { model, max_output_tokens: 12, seed: 7 }
const first = await client.responses.create({ ...wanted, input: 'Who is there?' })
assert(first.output_text.length > 0)
assert.equal(first.usage.total_tokens, first.usage.input_tokens + first.usage.output_tokens)
const events = await collect(await client.responses.create({ ...wanted, input: 'Who is there?', stream: true }))
events.forEach((e, i) => assert.equal(e.sequence_number, i))
assert.equal(events[0].type, 'response.created')
assert.equal(events.at(-1).type, 'response.' + first.status)
const deltas = events.filter((e) => e.type === 'response.output_text.delta')
assert.equal(deltas.map((e) => e.delta).join(''), first.output_text)
const streamed = await client.responses.stream({ ...wanted, input: 'Who is there?' }).finalResponse()
assert.equal(streamed.output_text, first.output_text)
const next = await client.responses.create({ ...wanted, input: 'And then?', previous_response_id: first.id })
assert.equal(next.previous_response_id, first.id)
assert(next.usage.input_tokens > first.usage.input_tokens)
assert.equal((await client.responses.retrieve(next.id)).output_text, next.output_text)

const flat = { type: 'function', strict: true, ...look.function }
const useNow = { ...wanted, max_output_tokens: 200, parallel_tool_calls: false, tools: [flat] }
const asked = await client.responses.create({ ...useNow, input: 'Who is there?', tool_choice: 'required' })
const item = asked.output.find((o) => o.type === 'function_call')
assert(['door', 'wall'].includes(JSON.parse(item.arguments).where))
const output = [{ type: 'function_call_output', call_id: item.call_id, output: found }]
const answered = await client.responses.create({
  ...useNow,
  tool_choice: 'none',
  previous_response_id: asked.id,
  input: output,
})
assert(answered.output.every((o) => o.type !== 'function_call') && answered.usage.input_tokens > 120)
await client.responses.delete(next.id)
await assert.rejects(client.responses.retrieve(next.id), OpenAI.NotFoundError)

console.log('ok', text.length, heard, many.length, events.length)
