// LangChain's classes for OpenAI's API (chat and responses) and Ollama's against a server:
// node langchain.mjs URL MODEL KEY. Says "ok" and what it did.
import assert from 'node:assert/strict'
import { ToolMessage } from '@langchain/core/messages'
import { ChatOllama, OllamaEmbeddings } from '@langchain/ollama'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { z } from 'zod'
import { seenLeaving } from './left.mjs'

const [url, model, slowKey] = process.argv.slice(2)
const configuration = (apiKey) => ({ model, apiKey, maxRetries: 0, configuration: { baseURL: url + '/v1' } })
const chat = (more, apiKey = 'any') =>
  new ChatOpenAI({ ...configuration(apiKey), temperature: 0, maxTokens: 12, ...more })
const responses = (more, apiKey) => chat({ useResponsesApi: true, ...more }, apiKey)
// Its options are a list of names; one that it does not know is put into the request on the way.
const unending = (to, init) => {
  const body = JSON.parse(init.body)
  return fetch(to, { ...init, body: JSON.stringify({ ...body, options: { ...body.options, ignore_eos: true } }) })
}
const ollama = ({ maxTokens, modelKwargs, ...more } = {}, apiKey = 'any') =>
  new ChatOllama({
    baseUrl: url,
    model,
    maxRetries: 0,
    temperature: 0,
    numPredict: maxTokens ?? 12,
    headers: new Headers({ Authorization: `Bearer ${apiKey}` }),
    ...(modelKwargs && { fetch: unending }),
    ...more,
  })
const prompt = [['human', 'Who is there?']]
const endless = { maxTokens: 900, modelKwargs: { ignore_eos: true } }
const statusOf = (e) => e.status ?? e.status_code
const said = []

for (const [name, make] of Object.entries({ chat, responses, ollama })) {
  const whole = await make().invoke(prompt)
  assert(whole.text.length > 0, name)
  assert(whole.usage_metadata.input_tokens > 0 && whole.usage_metadata.output_tokens > 0, name)
  let sum
  for await (const chunk of await make().stream(prompt)) sum = sum ? sum.concat(chunk) : chunk
  assert.equal(sum.text, whole.text, name)
  assert.equal(sum.usage_metadata.output_tokens, whole.usage_metadata.output_tokens, name)

  if (name !== 'responses') {
    const stop = whole.text.slice(3, 6)
    const cut = await make().invoke(prompt, { stop: ['no such text', stop] })
    assert.equal(cut.text, whole.text.slice(0, whole.text.indexOf(stop)), name)
  }
  if (name !== 'ollama') {
    const long = [['system', `The same beginning for ${name}. `.repeat(20)], ...prompt]
    await make().invoke(long)
    assert((await make().invoke(long)).usage_metadata.input_token_details.cache_read >= 64, name)
  }

  const fails = async (one, status) => assert.rejects(one.invoke(prompt), (e) => statusOf(e) === status)
  await fails(make({ model: 'nobody' }), 404)
  await fails(make({ topP: 7 }), 400)
  await fails(make({}, 'hk-nobodys'), 401)

  let heard, control
  const left = async () => {
    const one = make(endless)
    const stream = await one.stream([['human', 'O']], { signal: control.signal })
    for await (const chunk of stream)
      if (chunk.text && ++heard === 3) {
        one.client?.abort?.() // the signal alone makes ChatOllama stop reading, with its connection still open
        control.abort()
      }
  }
  await seenLeaving(url, () => {
    heard = 0
    control = new AbortController()
    return assert.rejects(left(), /abort/i, name)
  })

  const many = await Promise.all(
    Array.from({ length: 20 }, (_, i) => make().invoke([['human', `Who is there? ${i % 4}`]])),
  )
  for (let i = 4; i < 20; i++) assert.equal(many[i].text, many[i % 4].text, name)

  const Guest = z.object({ name: z.string().max(12), kind: z.enum(['king', 'fool']) })
  const guest = make({ maxTokens: 200 }).withStructuredOutput(Guest, { method: 'jsonSchema', name: 'guest' })
  Guest.parse(await guest.invoke(prompt))

  // A call that must be, whole and in parts, and what came of it. (Ollama's API has no word for "must".)
  if (name !== 'ollama') {
    const look = { name: 'look', description: 'Looks there', schema: z.object({ where: z.enum(['door', 'wall']) }) }
    const one = make({ maxTokens: 200 })
    const bound = one.bindTools([look], { tool_choice: 'look', parallel_tool_calls: false })
    const called = await bound.invoke(prompt)
    const [call] = called.tool_calls
    assert(call.name === 'look' && call.id && ['door', 'wall'].includes(call.args.where), name)
    let parts
    for await (const chunk of await bound.stream(prompt)) parts = parts ? parts.concat(chunk) : chunk
    assert.deepEqual(parts.tool_calls[0].args, call.args, name)
    const talk = [...prompt, called, new ToolMessage({ content: 'Nobody. '.repeat(60), tool_call_id: call.id })]
    const told = await one.invoke(talk)
    assert(told.usage_metadata.input_tokens > 120 && told.tool_calls.length === 0, name)
    const byCall = one.withStructuredOutput(Guest, { method: 'functionCalling', name: 'guest' })
    Guest.parse(await byCall.invoke(prompt))
  }
  said.push(name, whole.text.length, heard, many.length)
}

await assert.rejects(
  (async () => {
    for (let i = 0; i < 3; i++) await chat({}, slowKey).invoke(prompt)
  })(),
  (e) => statusOf(e) === 429,
)

for (const embeddings of [new OpenAIEmbeddings(configuration('any')), new OllamaEmbeddings({ baseUrl: url, model })]) {
  const vectors = await embeddings.embedDocuments(['To be', 'or not to be'])
  assert(vectors.length === 2 && vectors[0].length === vectors[1].length && vectors[0].length > 8)
  assert.equal((await embeddings.embedQuery('To be')).length, vectors[0].length)
}
console.log('ok', ...said)
