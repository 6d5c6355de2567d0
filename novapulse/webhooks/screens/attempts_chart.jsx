// Attempts over time: bars for what was delivered and what failed, a line for the 95th percentile of their duration.
import { Bar, CartesianGrid, ComposedChart, Line, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";

const SERIES = [
  ["ok", "Delivered", "var(--green-9)"],
  ["failed", "Failed", "var(--red-9)"],
  ["p95", "p95", "var(--accent-11)"],
];
const TICK = { fontSize: 12, fill: "var(--gray-11)" };

function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function took(ms) {
  if (ms == null) return "–";
  return ms < 10000 ? `${Math.round(ms).toLocaleString()} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function Hint({ active, payload, minutes }) {
  if (!active || !payload?.length) return null;
  const point = payload[0].payload;
  const end = Date.parse(point.at) + minutes * 60000;
  return (
    <div className="np-hint np-num">
      <strong>
        {clock(point.at)} – {clock(end)}
      </strong>
      {SERIES.map(([name, label, color]) => (
        <span key={name}>
          <i style={{ background: color }} /> {label} <b>{name === "p95" ? took(point.p95) : point[name].toLocaleString()}</b>
        </span>
      ))}
    </div>
  );
}

export function AttemptsChart({ points, minutes }) {
  const sum = (name) => points.reduce((total, point) => total + point[name], 0);
  const slowest = points.reduce((most, point) => Math.max(most, point.p95 ?? 0), 0);
  const summary = points.length
    ? `${sum("ok").toLocaleString()} attempts delivered, ${sum("failed").toLocaleString()} failed; highest p95 ${slowest ? took(slowest) : "–"}.`
    : "";
  const nothing = points.length > 0 && sum("ok") + sum("failed") === 0;
  return (
    <figure className="np-chart" data-testid="attempts-chart">
      <figcaption>
        <ul aria-hidden="true">
          {SERIES.map(([name, label, color]) => (
            <li key={name}>
              <i data-line={name === "p95"} style={{ background: color }} /> {label}
            </li>
          ))}
        </ul>
        <span className="np-num" data-testid="attempts-summary">
          {summary}
        </span>
      </figcaption>
      <div className="np-chart-area" aria-hidden="true">
        {nothing ? <p>No attempts in this time.</p> : null}
        <ResponsiveContainer width="100%" height="100%">
          <ComposedChart data={points} margin={{ top: 8, right: 0, left: 0, bottom: 0 }} barCategoryGap="18%" accessibilityLayer={false}>
            <CartesianGrid vertical={false} stroke="var(--gray-a4)" />
            <XAxis dataKey="at" tickFormatter={clock} tick={TICK} tickLine={false} axisLine={{ stroke: "var(--gray-a6)" }} minTickGap={44} />
            <YAxis yAxisId="count" allowDecimals={false} tick={TICK} tickLine={false} axisLine={false} width={44} />
            <YAxis yAxisId="ms" orientation="right" tick={TICK} tickFormatter={took} tickLine={false} axisLine={false} width={64} />
            <Tooltip content={<Hint minutes={minutes} />} cursor={{ fill: "var(--gray-a3)" }} isAnimationActive={false} />
            <Bar yAxisId="count" dataKey="ok" stackId="attempts" fill={SERIES[0][2]} isAnimationActive={false} maxBarSize={36} />
            <Bar yAxisId="count" dataKey="failed" stackId="attempts" fill={SERIES[1][2]} isAnimationActive={false} maxBarSize={36} />
            <Line yAxisId="ms" dataKey="p95" stroke={SERIES[2][2]} strokeWidth={2} dot={{ r: 2 }} connectNulls={false} isAnimationActive={false} />
          </ComposedChart>
        </ResponsiveContainer>
      </div>
    </figure>
  );
}
