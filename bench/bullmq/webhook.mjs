// The peer of bench/deliveries.py: one Node process takes webhook jobs from BullMQ, signs and posts them.
// Usage: node webhook.mjs REDIS_SOCKET SINK_URL JOBS CONCURRENCY; prints one line of JSON.
import { Queue, Worker } from 'bullmq';
import crypto from 'node:crypto';
import { Agent, request } from 'undici';

const [socket, sink, jobsText, concurrencyText] = process.argv.slice(2);
const jobs = Number(jobsText);
const concurrency = Number(concurrencyText);
const connection = { path: socket, db: 1, maxRetriesPerRequest: null };
const key = crypto.randomBytes(32);
const body = JSON.stringify({
  type: 'invoice.paid',
  timestamp: new Date().toISOString(),
  data: { x: 'y'.repeat(400) },
});

const queue = new Queue('webhook', { connection });
await queue.obliterate({ force: true });
let started = performance.now();
for (let done = 0; done < jobs; done += 500) {
  const size = Math.min(500, jobs - done);
  await queue.addBulk(
    Array.from({ length: size }, () => ({
      name: 'deliver',
      data: { url: sink, body },
      opts: { attempts: 8, backoff: { type: 'exponential', delay: 1000 }, removeOnComplete: 1000 },
    })),
  );
}
const enqueueSeconds = (performance.now() - started) / 1000;

const agent = new Agent({ connections: concurrency, pipelining: 1 });
const cpuBefore = process.cpuUsage();
started = performance.now();
await new Promise((resolve, reject) => {
  let completed = 0;
  const worker = new Worker(
    'webhook',
    async (job) => {
      const id = `msg_${crypto.randomUUID()}`;
      const timestamp = String(Math.floor(Date.now() / 1000));
      const signature = crypto
        .createHmac('sha256', key)
        .update(`${id}.${timestamp}.${job.data.body}`)
        .digest('base64');
      const answer = await request(job.data.url, {
        method: 'POST',
        body: job.data.body,
        dispatcher: agent,
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': `v1,${signature}`,
        },
      });
      await answer.body.dump();
      if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`);
    },
    { connection, concurrency },
  );
  worker.on('failed', (_job, error) => reject(error));
  worker.on('completed', () => {
    completed += 1;
    if (completed === jobs) resolve();
  });
});
const seconds = (performance.now() - started) / 1000;
const cpu = process.cpuUsage(cpuBefore);
console.log(
  JSON.stringify({
    enqueue_per_s: jobs / enqueueSeconds,
    per_s: jobs / seconds,
    cpu_us: (cpu.user + cpu.system) / jobs,
  }),
);
process.exit(0);
