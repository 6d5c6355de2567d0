// How a queue went: throughput and backlog, waiting and running times, with what happened marked. The server gives the
// history once; what every open page is told each second goes on from there.
import { useEffect, useMemo, useRef, useState } from "react";
import { Area, CartesianGrid, ComposedChart, Line, ReferenceLine, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";

export const MARKS = { deploy: "var(--accent-9)", pause: "var(--amber-9)", drain: "var(--amber-9)", resume: "var(--green-9)", repair: "var(--red-9)", act: "var(--gray-9)", worker: "var(--gray-9)" };
const TICK = { fontSize: 12, fill: "var(--gray-11)" };
const FLOW = [
  ["ok", "Ended well per second", "var(--green-9)"],
  ["failed", "Failed per second", "var(--red-9)"],
  ["waiting", "Waiting", "var(--accent-11)"],
];
const TIMES = [
  ["wait99", "Wait p99", "var(--amber-11)"],
  ["wait50", "Wait p50", "var(--amber-11)", true],
  ["run99", "Run p99", "var(--accent-9)"],
  ["run50", "Run p50", "var(--accent-9)", true],
];

export function clock(at, seconds = false) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) });
}

export function took(ms) {
  if (ms == null) return "–";
  const [value, unit] = ms < 10 ? [Math.round(ms * 10) / 10, "ms"] : ms < 10000 ? [Math.round(ms), "ms"] : ms < 600000 ? [Math.round(ms / 100) / 10, "s"] : [Math.round(ms / 60000), "min"];
  return `${value.toLocaleString()}\u00a0${unit}`; // an axis would break the line
}

export function number(value) {
  return value == null ? "?" : (Math.round(value * 10) / 10).toLocaleString();
}

const worst = (a, b) => (a == null ? b : b == null ? a : Math.max(a, b));

// What comes in goes into the step of its time: the mean of rates, the slowest of times, the last of counts.
function useGoingOn(points, step, span, at, now) {
  const [shown, setShown] = useState([]);
  const open = useRef({ at: 0, n: 0 });
  useEffect(() => {
    const [kept] = [points.map(([at, ok, failed, waiting, wait50, wait99, run50, run99]) => ({ at, ok, failed, waiting, wait50, wait99, run50, run99 }))];
    open.current = { at: kept.length ? kept[kept.length - 1].at : 0, n: 0 };
    setShown(kept);
  }, [points]);
  useEffect(() => {
    const moment = Date.parse(at);
    if (!moment || !now?.length || !points.length) return;
    const start = Math.floor(moment / step) * step;
    const [rate, share, waiting, wait50, wait99, run50, run99] = now;
    const failed = rate == null ? null : rate * (share ?? 0);
    const point = { at: start, ok: rate == null ? null : rate - failed, failed, waiting, wait50, wait99, run50, run99 };
    setShown((all) => {
      const last = all[all.length - 1];
      if (!last || start < last.at) return all;
      if (start > last.at) {
        open.current = { at: start, n: 1 };
        return [...all.filter((each) => each.at > moment - span), point];
      }
      if (open.current.n === 0) return all; // the history's own is as good
      const n = open.current.n++;
      const mean = (a, b) => (a == null || b == null ? b : (a * n + b) / (n + 1));
      const merged = { at: start, ok: mean(last.ok, point.ok), failed: mean(last.failed, point.failed), waiting, wait50: worst(last.wait50, wait50), wait99: worst(last.wait99, wait99), run50: worst(last.run50, run50), run99: worst(last.run99, run99) };
      return [...all.slice(0, -1), merged];
    });
  }, [at]);
  return shown;
}

function Hint({ active, payload, series, format, step }) {
  if (!active || !payload?.length) return null;
  const point = payload[0].payload;
  return (
    <div className="np-hint np-num">
      <strong>{clock(point.at, step < 60000)}</strong>
      {series.map(([name, label, color]) => (
        <span key={name}>
          <i style={{ background: color }} /> {label} <b>{format(point[name], name)}</b>
        </span>
      ))}
    </div>
  );
}

function Chart({ title, series, points, marks, format, areas, right, step, span, summary, testid }) {
  const end = points.length ? points[points.length - 1].at : 0;
  const known = points.some((point) => series.some(([name]) => point[name] != null));
  return (
    <figure className="np-chart" data-testid={testid}>
      <figcaption>
        <h3>{title}</h3>
        <ul aria-hidden="true">
          {series.map(([name, label, color, dashed]) => (
            <li key={name}>
              <i data-line={!areas.includes(name)} style={{ background: dashed ? `repeating-linear-gradient(90deg, ${color} 0 4px, transparent 4px 7px)` : color }} /> {label}
            </li>
          ))}
        </ul>
        <span className="np-hidden">{summary}</span>
      </figcaption>
      <div className="np-chart-area np-chart-low" aria-hidden="true">
        {known ? null : <p>Nothing is known of this time yet.</p>}
        <ResponsiveContainer width="100%" height="100%">
          <ComposedChart data={points} margin={{ top: 8, right: 0, left: 0, bottom: 0 }} accessibilityLayer={false}>
            <CartesianGrid vertical={false} stroke="var(--gray-a4)" />
            <XAxis dataKey="at" type="number" scale="time" domain={[end - span, end]} allowDataOverflow tickFormatter={(at) => clock(at)} tick={TICK} tickLine={false} axisLine={{ stroke: "var(--gray-a6)" }} minTickGap={44} />
            <YAxis yAxisId="left" tick={TICK} tickFormatter={(value) => format(value, series[0][0])} tickLine={false} axisLine={false} width={64} />
            {right ? <YAxis yAxisId="right" orientation="right" allowDecimals={false} tick={TICK} tickLine={false} axisLine={false} width={44} /> : null}
            <Tooltip content={<Hint series={series} format={format} step={step} />} cursor={{ stroke: "var(--gray-a6)" }} isAnimationActive={false} />
            {series.map(([name, , color, dashed]) =>
              areas.includes(name) ? (
                <Area key={name} yAxisId="left" dataKey={name} stackId="flow" stroke={color} fill={color} fillOpacity={0.25} strokeWidth={1.5} dot={false} connectNulls={false} isAnimationActive={false} />
              ) : (
                <Line key={name} yAxisId={right === name ? "right" : "left"} dataKey={name} stroke={color} strokeWidth={1.5} strokeDasharray={dashed ? "4 3" : undefined} dot={false} connectNulls={false} isAnimationActive={false} />
              ),
            )}
            {marks.map((mark, place) => (
              <ReferenceLine key={place} yAxisId="left" x={Date.parse(mark.at)} stroke={MARKS[mark.kind]} strokeDasharray="3 3" />
            ))}
          </ComposedChart>
        </ResponsiveContainer>
      </div>
    </figure>
  );
}

export function MarkList({ marks, onGo, empty }) {
  if (!marks.length) return <p className="np-note">{empty}</p>;
  return (
    <ul className="np-happened np-num" aria-label="What happened" tabIndex={0}>
      {[...marks].reverse().map((mark, place) => (
        <li key={place} data-testid="mark">
          <i style={{ background: MARKS[mark.kind] }} />
          {onGo ? (
            <button type="button" className="np-linkbutton" onClick={() => onGo(Date.parse(mark.at))}>
              <time dateTime={mark.at}>{clock(mark.at, true)}</time>
            </button>
          ) : (
            <time dateTime={mark.at}>{clock(mark.at, true)}</time>
          )}
          <span>{mark.text}</span>
        </li>
      ))}
    </ul>
  );
}

export function QueueCharts({ points, step, span, marks, at, now }) {
  const shown = useGoingOn(points, step, span, at, now ?? []);
  const end = shown.length ? shown[shown.length - 1].at : 0;
  const seen = useMemo(() => marks.filter((mark) => Date.parse(mark.at) >= end - span), [marks, end, span]);
  const most = (name) => shown.reduce((top, point) => Math.max(top, point[name] ?? 0), 0);
  return (
    <div className="np-charts">
      <Chart
        title="Throughput and backlog" testid="chart-flow" series={FLOW} areas={["ok", "failed"]} right="waiting" points={shown} marks={seen} step={step} span={span}
        format={(value) => number(value)}
        summary={`At most ${number(most("ok"))} per second; at most ${number(most("waiting"))} waiting.`}
      />
      <Chart
        title="Waiting and running times" testid="chart-times" series={TIMES} areas={[]} points={shown} marks={seen} step={step} span={span}
        format={(value) => took(value)}
        summary={`Highest p99 of the wait ${took(most("wait99"))}, of the run ${took(most("run99"))}.`}
      />
      <div>
        <h3>What happened</h3>
        <MarkList marks={seen} empty="No deploy, no pause, and nobody did anything in this time." />
      </div>
    </div>
  );
}
