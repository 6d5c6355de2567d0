// The picture of a workflow: lines below, and each step a button above, so that all of it works by keyboard.
import { Ban, CircleCheck, CircleDashed, CircleX, Clock, FileChartColumn, Globe, LoaderCircle, Mail, Repeat, Rows2, SkipForward, Split, Timer, Webhook } from "lucide-react";

const ICONS = { webhook_event: Webhook, email: Mail, report: FileChartColumn, http: Globe, wait: Timer, condition: Split, parallel: Rows2, loop: Repeat };
const STATES = { completed: CircleCheck, failed: CircleX, running: LoaderCircle, waiting: Clock, skipped: SkipForward, cancelled: Ban };

function bend([x1, y1, x2, y2]) {
  const middle = (y1 + y2) / 2;
  return `M ${x1} ${y1} C ${x1} ${middle}, ${x2} ${middle}, ${x2} ${y2}`;
}

function Step({ node, onOpen }) {
  const Icon = ICONS[node.type] ?? CircleDashed;
  const Mark = STATES[node.state] ?? CircleDashed;
  const place = { left: node.x, top: node.y, width: node.w, height: node.box ? 44 : node.h };
  const said = [node.label, node.kind, node.state, node.note].filter(Boolean).join(", ");
  const inner = (
    <>
      <Icon size={17} aria-hidden="true" className="np-flow-icon" />
      <span className="np-flow-text">
        <span className="np-flow-label">{node.label}</span>
        <span className="np-flow-kind">{[node.kind, node.note].filter(Boolean).join(" · ")}</span>
      </span>
      {node.state ? <Mark size={16} aria-hidden="true" className="np-flow-mark" /> : null}
    </>
  );
  const shared = { className: "np-flow-step", style: place, "data-state": node.state, "data-box": node.box, "data-testid": `flow-step-${node.id}` };
  return node.open ? (
    <button type="button" {...shared} aria-label={said} onClick={() => onOpen(node.open)}>
      {inner}
    </button>
  ) : (
    <div {...shared} role="img" aria-label={said}>
      {inner}
    </div>
  );
}

export function FlowGraph({ picture, label, onOpen }) {
  const { width = 0, height = 0, nodes = [], edges = [], words = [] } = picture ?? {};
  return (
    <div className="np-flow" role="group" aria-label={label} tabIndex={0} data-testid="flow-graph">
      <div className="np-flow-inner" style={{ width, height }}>
        {nodes.filter((node) => node.box).map((node) => (
          <div key={node.id} className="np-flow-box" data-state={node.state} style={{ left: node.x, top: node.y, width: node.w, height: node.h }} />
        ))}
        <svg width={width} height={height} aria-hidden="true">
          <defs>
            <marker id="np-flow-end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M 0 0 L 8 4 L 0 8 z" />
            </marker>
          </defs>
          {edges.map((edge) => (
            <path key={edge.join(" ")} d={bend(edge)} markerEnd="url(#np-flow-end)" />
          ))}
        </svg>
        {words.map(({ x, y, text }) => (
          <span key={`${x} ${y}`} className="np-flow-word" style={{ left: x, top: y }}>
            {text}
          </span>
        ))}
        {nodes.map((node) => (
          <Step key={node.id} node={node} onOpen={onOpen ?? (() => {})} />
        ))}
      </div>
    </div>
  );
}
