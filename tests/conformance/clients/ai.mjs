// Vercel's AI SDK against a server, by three of its providers: node ai.mjs URL MODEL KEY. Says "ok" and what it did.
// Its providers check each answer and event against schemas of their own.
import assert from 'node:assert/strict'
import { APICallError, embedMany, generateObject, generateText, isStepCount, streamObject, streamText, tool } from 'ai'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { z } from 'zod'
import { seenLeaving } from './left.mjs'

const [url, model, slowKey] = process.argv.slice(2)
const prompt = 'Who is there?'
const once = { maxRetries: 0 }

const baseURL = url + '/v1'
const able = { includeUsage: true, supportsStructuredOutputs: true }
const compatible = (apiKey, more) => createOpenAICompatible({ name: 'hearth', baseURL, apiKey, ...able, ...more })
const responses = (apiKey, more) => createOpenAI({ baseURL, apiKey, ...more })
const messages = (apiKey, more) => createAnthropic({ baseURL, apiKey, ...more })
const ways = { compatible, responses, messages }

// Adds a field that no provider knows, so that a stream is sure to be left before its end.
const endlessly = {
  fetch: (to, init) => fetch(to, { ...init, body: JSON.stringify({ ...JSON.parse(init.body), ignore_eos: true }) }),
}

const Guest = z.object({ name: z.string().max(12), kind: z.enum(['king', 'fool']) })
const said = []

for (const [name, make] of Object.entries(ways)) {
  const one = make('any')(model)
  // Neither Responses nor Messages has a seed; without chance there is none to fix.
  const ask = { ...once, model: one, prompt, maxOutputTokens: 12, temperature: 0 }

  const whole = await generateText(ask)
  assert(whole.text.length > 0, name)
  assert.equal(whole.warnings?.length ?? 0, 0, name)
  assert(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0, name)
  assert(['stop', 'length'].includes(whole.finishReason), name)

  const stream = streamText(ask)
  let text = ''
  for await (const piece of stream.textStream) text += piece
  assert.equal(text, whole.text, name)
  assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens, name)
  assert.equal(await stream.finishReason, whole.finishReason, name)

  const long = { ...ask, system: `The same beginning for ${name}. `.repeat(20) }
  if (name === 'responses') delete long.system, (long.prompt = `The same beginning for ${name}. `.repeat(20))
  await generateText(long)
  const cached = (await generateText(long)).usage
  assert((cached.inputTokenDetails?.cacheReadTokens ?? cached.cachedInputTokens) >= 64, name)

  if (name !== 'responses') {
    const stop = whole.text.slice(3, 6)
    const cut = await generateText({ ...ask, stopSequences: ['no such text', stop] })
    assert.equal(cut.text, whole.text.slice(0, whole.text.indexOf(stop)), name)
    assert.equal(cut.finishReason, 'stop', name)
  }

  const refused = (status) => (e) => APICallError.isInstance(e) && e.statusCode === status
  await assert.rejects(generateText({ ...ask, model: make('any')('nobody') }), refused(404), name)
  await assert.rejects(generateText({ ...ask, topP: 7 }), refused(400), name)
  await assert.rejects(generateText({ ...ask, model: make('hk-nobodys')(model) }), refused(401), name)

  let heard
  await seenLeaving(url, async () => {
    const control = new AbortController()
    const endless = streamText({
      ...ask,
      model: make('any', endlessly)(model),
      maxOutputTokens: 900,
      abortSignal: control.signal,
      onError: () => {},
    })
    heard = 0
    for await (const piece of endless.textStream) if (piece && ++heard === 3) control.abort()
    assert(heard >= 3, name)
  })

  const many = await Promise.all(
    Array.from({ length: 20 }, (_, i) => generateText({ ...ask, prompt: `${prompt} ${i % 4}` })),
  )
  for (let i = 4; i < 20; i++) assert.equal(many[i].text, many[i % 4].text, name)
  said.push(name, text.length, heard, many.length)
}

await assert.rejects(
  (async () => {
    const ask = { ...once, model: compatible(slowKey)(model), prompt, maxOutputTokens: 2 }
    for (let i = 0; i < 3; i++) await generateText(ask)
  })(),
  (e) => e.statusCode === 429 && e.isRetryable && Number(e.responseHeaders['retry-after']) > 0,
)

// What was said goes on, as the library keeps it: where responses are kept it gives their items' names alone.
for (const make of Object.values(ways)) {
  const ask = { ...once, model: make('any')(model), maxOutputTokens: 8 }
  const first = await generateText({ ...ask, prompt })
  const messages = [{ role: 'user', content: prompt }, ...first.response.messages, { role: 'user', content: 'And then?' }]
  const second = await generateText({ ...ask, messages })
  assert(second.usage.inputTokens >= first.usage.inputTokens + first.usage.outputTokens)
}

// Objects.
for (const make of [compatible, responses]) {
  const ask = { ...once, model: make('any')(model), prompt, schema: Guest, maxOutputTokens: 200 }
  const { object } = await generateObject(ask)
  Guest.parse(object)
  const { partialObjectStream, object: last } = streamObject(ask)
  let parts = 0
  for await (const _ of partialObjectStream) parts++
  Guest.parse(await last)
  assert(parts > 1)
}

// Tools: the first step must call, the function runs, the second step answers. Whole and streamed.
for (const make of Object.values(ways)) {
  let looked = 0
  const look = tool({
    description: 'Looks there',
    inputSchema: z.object({ where: z.enum(['door', 'wall']) }),
    execute: ({ where }) => (looked++, `Nobody at the ${where}.`.repeat(40)),
  })
  const ask = {
    ...once,
    model: make('any')(model),
    prompt,
    tools: { look },
    temperature: 0,
    maxOutputTokens: 200,
    stopWhen: isStepCount(2),
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? { type: 'tool', toolName: 'look' } : 'none' }),
  }
  const { steps } = await generateText(ask)
  assert.equal(steps.length, 2)
  assert.equal(steps[0].finishReason, 'tool-calls')
  assert.equal(steps[0].toolCalls.length, looked)
  assert.equal(steps[0].toolResults[0].output, `Nobody at the ${steps[0].toolCalls[0].input.where}.`.repeat(40))
  assert.equal(steps[1].toolCalls.length, 0)
  assert(steps[1].usage.inputTokens > 160) // what the function said was before the model
  const live = streamText(ask)
  const seen = new Set()
  for await (const part of live.fullStream) seen.add(part.type)
  for (const type of ['tool-input-start', 'tool-input-delta', 'tool-call', 'tool-result']) assert(seen.has(type), type)
  assert.deepEqual((await live.steps)[0].toolCalls.map((c) => c.input), steps[0].toolCalls.map((c) => c.input))
}

// Vectors.
for (const embedding of [compatible('any').embeddingModel(model), responses('any').embedding(model)]) {
  const { embeddings, usage } = await embedMany({ ...once, model: embedding, values: ['To be', 'or not to be'] })
  assert.equal(embeddings.length, 2)
  assert(embeddings[0].length === embeddings[1].length && embeddings[0].length > 8 && usage.tokens > 0)
}
console.log('ok', ...said)
