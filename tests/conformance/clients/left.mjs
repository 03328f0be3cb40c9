// Streams that a client leaves before their end, as the server sees it: await seenLeaving(url, async () => { ... })
import assert from 'node:assert/strict'

const metric = async (url, name) =>
  Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await (await fetch(url + '/metrics')).text())[1])

// Calls leave, which begins a long answer and leaves it, until the server has cancelled one: a small model may have
// written all of it before it is told.
export const seenLeaving = async (url, leave) => {
  for (let i = 0; i < 20; i++) {
    const before = await metric(url, 'hearth_cancelled_total')
    await leave()
    const deadline = Date.now() + 60000
    while ((await metric(url, 'hearth_calls')) > 0) {
      assert(Date.now() < deadline, 'an answer that was left goes on')
      await new Promise((done) => setTimeout(done, 5))
    }
    if ((await metric(url, 'hearth_cancelled_total')) > before) return
  }
  assert.fail('the server never saw anybody leave')
}
