// The peer of bench/jobs.py: jobs that do nothing, sent in bulk and drained, then sent one by one at a steady rate.
// Usage: node jobs.mjs REDIS_SOCKET JOBS CONCURRENCY RATE SECONDS; prints one line of JSON.
import { Queue, Worker } from 'bullmq';

const [socket, ...numbers] = process.argv.slice(2);
const [jobs, concurrency, rate, seconds] = numbers.map(Number);
const connection = { path: socket, db: 1, maxRetriesPerRequest: null };
const queue = new Queue('nothing', { connection });
await queue.obliterate({ force: true });

let started = performance.now();
for (let done = 0; done < jobs; done += 500) {
  const size = Math.min(500, jobs - done);
  await queue.addBulk(
    Array.from({ length: size }, (_, n) => ({ name: 'nothing', data: { n }, opts: { removeOnComplete: 1000 } })),
  );
}
const enqueueSeconds = (performance.now() - started) / 1000;

let completed = 0;
let waits = [];
let finish;
const worker = new Worker(
  'nothing',
  async (job) => {
    waits.push(Date.now() - job.timestamp);
  },
  { connection, concurrency, autorun: false },
);
worker.on('completed', () => {
  completed += 1;
  finish(completed);
});
const all = (count) =>
  new Promise((resolve) => {
    completed = 0;
    finish = (done) => done === count && resolve();
  });

let done = all(jobs);
const cpuBefore = process.cpuUsage();
started = performance.now();
worker.run();
await done;
const drainSeconds = (performance.now() - started) / 1000;
const cpu = process.cpuUsage(cpuBefore);

waits = [];
done = all(rate * seconds);
started = performance.now();
for (let n = 0; n < rate * seconds; n += 1) {
  const early = started + (n * 1000) / rate - performance.now();
  if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
  await queue.add('nothing', { n }, { removeOnComplete: 1000 });
}
await done;
waits.sort((a, b) => a - b);
console.log(
  JSON.stringify({
    enqueue_per_s: jobs / enqueueSeconds,
    per_s: jobs / drainSeconds,
    cpu_us: (cpu.user + cpu.system) / jobs,
    p50: waits[Math.floor(waits.length / 2)],
    p99: waits[Math.floor((waits.length * 99) / 100)],
  }),
);
process.exit(0);
