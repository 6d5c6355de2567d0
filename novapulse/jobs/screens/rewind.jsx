// The board as it was: a slider over the last 24 hours, with what happened marked on it. The server gives all moments
// at once; moving through them asks it nothing.
import { useEffect, useMemo, useState } from "react";
import { Button } from "@radix-ui/themes";
import { MARKS, MarkList, clock, number, took } from "./charts.jsx";

const COLUMNS = [
  ["Waiting", (p) => count(p[0])],
  ["Active", (p) => `${count(p[1])}${p[6] == null ? "" : ` of ${count(p[6])}`}`],
  ["Delayed", (p) => count(p[2])],
  ["Completed", (p) => count(p[3])],
  ["Dead", (p) => count(p[4])],
  ["Per second", (p) => number(p[9])],
  ["Wait p99", (p) => took(p[11])],
  ["Workers", (p) => count(p[5])],
];

function count(value) {
  return value == null ? "?" : value.toLocaleString();
}

function day(at) {
  return `${new Date(at).toLocaleDateString([], { weekday: "short" })} ${clock(at)}`;
}

function Map({ times, series, marks, at, span }) {
  const most = series.reduce((top, value) => Math.max(top, value ?? 0), 0) || 1;
  const x = (time) => ((time - times[0]) / span) * 1000;
  const parts = [];
  let drawing = false;
  series.forEach((value, place) => {
    if (value == null) {
      drawing = false;
      return;
    }
    parts.push(`${drawing ? "L" : "M"}${x(times[place]).toFixed(1)} ${(58 - (value / most) * 52).toFixed(1)}`);
    drawing = true;
  });
  return (
    <svg viewBox="0 0 1000 60" preserveAspectRatio="none" width="100%" height="72" role="img" aria-label="Jobs that waited, in all queues together">
      <path d={parts.join("")} fill="none" stroke="var(--accent-9)" strokeWidth="1.5" vectorEffect="non-scaling-stroke" />
      {marks.map((mark, place) => (
        <line key={place} x1={x(Date.parse(mark.at))} x2={x(Date.parse(mark.at))} y1="0" y2="60" stroke={MARKS[mark.kind]} strokeWidth="2" vectorEffect="non-scaling-stroke" />
      ))}
      <line x1={x(at)} x2={x(at)} y1="0" y2="60" stroke="var(--gray-12)" strokeWidth="1.5" strokeDasharray="4 3" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}

export function Rewind({ times, queues, marks, step, start, closest, onZoom }) {
  const [place, setPlace] = useState(times.length - 1);
  const nearest = (time) => times.reduce((best, each, at) => (Math.abs(each - time) < Math.abs(times[best] - time) ? at : best), 0);
  useEffect(() => setPlace(start ? nearest(start) : times.length - 1), [times, start]);
  const names = Object.keys(queues);
  const series = useMemo(
    () => times.map((_, at) => {
      const known = names.map((name) => queues[name][at]).filter(Boolean);
      return known.length ? known.reduce((sum, point) => sum + (point[0] ?? 0), 0) : null;
    }),
    [times, queues],
  );
  if (!times.length) return null;
  const at = times[Math.min(place, times.length - 1)];
  const spoken = `${new Date(at).toLocaleDateString([], { weekday: "short", day: "numeric", month: "short" })}, ${clock(at, true)}`;
  const moments = marks.map((mark) => Date.parse(mark.at));
  const before = moments.filter((time) => time < at - step / 2).pop();
  const after = moments.find((time) => time > at + step / 2);
  const go = (time) => setPlace(nearest(time));
  return (
    <div className="np-rewind np-num">
      <div className="np-rewind-head">
        <h2 data-testid="rewind-at">
          <time dateTime={new Date(at).toISOString()}>{spoken}</time>
        </h2>
        <div>
          <Button size="1" variant="soft" color="gray" disabled={before == null} onClick={() => go(before)} data-testid="rewind-before">
            Mark before
          </Button>
          <Button size="1" variant="soft" color="gray" disabled={after == null} onClick={() => go(after)} data-testid="rewind-after">
            Mark after
          </Button>
          <Button size="1" variant="soft" disabled={closest} onClick={() => onZoom(at)} data-testid="rewind-zoom">
            Look closer
          </Button>
        </div>
      </div>
      <Map times={times} series={series} marks={marks} at={at} span={times[times.length - 1] - times[0] || 1} />
      <input
        type="range" min="0" max={times.length - 1} value={place} onChange={(event) => setPlace(Number(event.target.value))}
        aria-label="Moment" aria-valuetext={spoken} data-testid="rewind-slider"
      />
      <p className="np-rewind-ends" aria-hidden="true">
        <span>{day(times[0])}</span>
        <span>{day(times[times.length - 1])}</span>
      </p>
      <div className="np-rewind-board" tabIndex={0} role="group" aria-label="The board at this moment">
        <table data-testid="rewind-board">
          <thead>
            <tr>
              <th scope="col">Queue</th>
              {COLUMNS.map(([name]) => (
                <th key={name} scope="col">{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {names.map((name) => {
              const point = queues[name][Math.min(place, times.length - 1)];
              return (
                <tr key={name} data-testid={`rewind-${name}`}>
                  <th scope="row">
                    {name} {point?.[7] ? <em>paused</em> : null}
                  </th>
                  {COLUMNS.map(([column, of]) => (
                    <td key={column} data-label={column}>{point ? of(point) : "?"}</td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <h3>What happened</h3>
      <MarkList marks={marks} onGo={go} empty="No deploy, no pause, and nobody did anything in this time." />
    </div>
  );
}
