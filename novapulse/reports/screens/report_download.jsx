// The button that downloads a report.
import { IconButton } from "@radix-ui/themes";
import { Download } from "lucide-react";
import { toast } from "sonner";
import { download } from "$/public/external/novapulse/ui/parts/api.js";

// A file may be larger than a page's memory: the browser itself saves it. Only the audit log is asked for by the page,
// because the person may have to show first that it is them.
export function DownloadReport({ reportId, kind, label }) {
  const path = `/reports/${reportId}/download`;
  const fetched = async () => {
    try {
      await download(path, { why: "to take the audit log away" });
    } catch (problem) {
      if (!problem.cancelled) toast.error(problem.message);
    }
  };
  if (kind === "audit")
    return (
      <IconButton variant="soft" aria-label={label} title="Download" onClick={fetched} data-testid="report-download">
        <Download size={15} aria-hidden="true" />
      </IconButton>
    );
  return (
    <IconButton variant="soft" aria-label={label} title="Download" asChild>
      <a href={`/api/v1${path}`} download data-testid="report-download">
        <Download size={15} aria-hidden="true" />
      </a>
    </IconButton>
  );
}
